// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce
import Yams

/// One node of a configuration file, which knows where it stands.
struct YAMLNode {
    private let node: Node
    private let file: String

    /// Nil for a file without content.
    init?(parsing text: String, from file: String) throws(Failure) {
        do {
            guard let node = try Yams.compose(yaml: text) else { return nil }
            self.node = node
            self.file = file
        } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
            let key = keys.first ?? ""
            throw Failure(.configuration, "\(file):\(context.mark): \(key.printable(limit: 64)) is there twice")
        } catch YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _),
            YamlError.composer(_, let problem, let mark, _)
        {
            throw Failure(.configuration, "\(file):\(mark): \(problem)")
        } catch {
            throw Failure(.configuration, "\(file): not readable as YAML")
        }
    }

    private init(_ node: Node, _ file: String) {
        self.node = node
        self.file = file
    }

    /// `config.yaml line 12`
    var place: String { "\(split(file).name) line \(node.mark?.line ?? 0)" }

    /// `/etc/stillpoint/config.yaml:12:9`
    var spot: String { "\(file):\(node.mark?.description ?? "1:1")" }

    /// Calls `body` with each member; what it returns, the keys it knows, says that this one is not among them.
    func members(_ body: (String, YAMLNode) throws(Failure) -> [String]?) throws(Failure) {
        // `defaults:` with every line below it commented out.
        if node.scalar?.string.isEmpty == true { return }
        guard let mapping = node.mapping else { throw failure("keys and values are wanted here") }
        for (key, value) in mapping {
            let name = YAMLNode(key, file)
            if let known = try body(try name.text(), YAMLNode(value, file)) {
                let hint = "known here: \(known.joined(separator: " "))"
                throw name.failure("unknown key \(try name.text())", hint: hint)
            }
        }
    }

    func elements() throws(Failure) -> [YAMLNode] {
        guard let sequence = node.sequence else { throw failure("a list such as [vdc, vdd] is wanted here") }
        return sequence.map { YAMLNode($0, file) }
    }

    func text() throws(Failure) -> String {
        guard let scalar = node.scalar else { throw failure("a single value is wanted here") }
        return scalar.string
    }

    /// - Parameter message: may quote the file.
    func failure(_ message: String, hint: String? = nil) -> Failure {
        Failure(.configuration, "\(spot): \(message.printable(limit: 256))", hint: hint)
    }
}
