// SPDX-License-Identifier: Apache-2.0

/// Which libvirt to talk to: `qemu:///system`, `qemu:///session`, or one on another host, for reading and thawing only.
public struct HypervisorURI: Sendable, Hashable, CustomStringConvertible {
    public let description: String
    /// The other host's name; nil on this one.
    public let host: String?

    public var isRemote: Bool { host != nil }

    public init(_ text: String) throws(Failure) {
        guard let colon = text.firstRange(of: "://") else {
            throw Failure(.usage, "'\(text)' is no libvirt URI", hint: "-c qemu:///system")
        }
        let scheme = text[..<colon.lowerBound].split(separator: "+", maxSplits: 1).map(String.init)
        guard scheme.first == "qemu" else {
            throw Failure(.usage, "'\(text)': only QEMU guests can be handled", hint: "-c qemu:///system")
        }
        let authority = text[colon.upperBound...].prefix { $0 != "/" && $0 != "?" }
        let place = authority.split(separator: "@").last ?? ""
        // `[::1]:16509` and `host:2222`: the port is libvirt's, not ssh's.
        let name = String(
            place.hasPrefix("[") ? place.dropFirst().prefix { $0 != "]" } : place.prefix { $0 != ":" })
        let transport = scheme.count > 1 ? scheme[1] : (name.isEmpty ? "unix" : "tls")
        switch transport {
        case "unix": host = nil
        case "ssh", "tls", "libssh", "libssh2": host = name
        case "tcp": throw Failure(.usage, "'\(text)': qemu+tcp is neither encrypted nor authenticated and is refused")
        default: throw Failure(.usage, "'\(text)': the transport \(transport) is not supported")
        }
        description = text
    }

    /// What touches images runs where they are.
    public func demandLocal(for command: String) throws(Failure) {
        guard let host else { return }
        throw Failure(
            .usage, "\(command) works on the host that has the images, and \(description) is another",
            hint: "ssh \(host) stillpoint \(command) …")
    }
}

extension GuestIdentity {
    var isRemote: Bool { (try? HypervisorURI(uri))?.isRemote ?? false }
}
