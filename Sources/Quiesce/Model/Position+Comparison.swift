// SPDX-License-Identifier: Apache-2.0

extension Position {
    /// How a position that a copy recovered to stands to the one that was recorded at the cut.
    public enum Comparison: Sendable, Hashable {
        case holds
        case differs(String)
        /// Nothing that could be held against each other.
        case incomparable(String)
    }

    /// - Parameter recovered: what the copy's own hook says.
    public func compared(with recovered: Position?) -> Comparison {
        guard let recovered else { return .incomparable("the copy's position is not told") }
        guard kind == recovered.kind else {
            return .differs("a position of \(recovered.kind), recorded was one of \(kind)")
        }
        switch kind {
        case "postgresql": return comparedLSN(with: recovered)
        case "mariadb", "mysql": return comparedBinlog(with: recovered)
        case "sqlite": return equal("databases", recovered)
        case "etcd": return first([equal("clusterId", recovered), atLeast("revision", recovered)])
        case "redis": return atLeast("lastSave", recovered, saying: "the replication offset is not kept over a restart")
        case "mongodb": return .incomparable("its own hook holds the times of the last writes against each other")
        default:
            return relation == .exact ? comparedWholly(with: recovered) : .incomparable("not comparable by the host")
        }
    }

    private func comparedLSN(with recovered: Position) -> Comparison {
        guard let recorded = lsn, let now = recovered.lsn else { return .incomparable("no LSN to compare") }
        guard now >= recorded else {
            return .differs("recovered to LSN \(recovered.word("lsn")), before the recorded \(word("lsn"))")
        }
        return first([equal("systemIdentifier", recovered), atLeast("timeline", recovered), .holds])
    }

    /// `16/B374D848`: two halves of 32 bits in hexadecimal digits.
    private var lsn: UInt64? {
        guard case .text(let text) = fields["lsn"] else { return nil }
        let halves = text.split(separator: "/", omittingEmptySubsequences: false)
        guard halves.count == 2, let high = UInt32(halves[0], radix: 16), let low = UInt32(halves[1], radix: 16) else {
            return nil
        }
        return UInt64(high) << 32 | UInt64(low)
    }

    /// Of the recorded file: a server begins a new one when it starts.
    private func comparedBinlog(with recovered: Position) -> Comparison {
        switch relation {
        case .exact:
            return first([equalSets("gtid", recovered), equal("file", recovered), equal("position", recovered)])
        case .atLeast:
            // GTID sets of MySQL are intervals, which its own hook compares.
            return first([equal("file", recovered), atLeast("position", recovered)])
        }
    }

    /// The first that differs; `holds` if one does.
    private func first(_ comparisons: [Comparison]) -> Comparison {
        for comparison in comparisons { if case .differs = comparison { return comparison } }
        return comparisons.contains(.holds) ? .holds : comparisons.first ?? .incomparable("nothing to compare")
    }

    private func comparedWholly(with recovered: Position) -> Comparison {
        first(fields.keys.filter { recovered.fields[$0] != nil }.sorted().map { equal($0, recovered) })
    }

    private func equal(_ key: String, _ recovered: Position) -> Comparison {
        guard let one = fields[key], let other = recovered.fields[key] else {
            return .incomparable("no \(key) to compare")
        }
        return one == other ? .holds : .differs("\(key) \(other), recorded was \(one)")
    }

    private func equalSets(_ key: String, _ recovered: Position) -> Comparison {
        guard let one = fields[key], let other = recovered.fields[key] else {
            return .incomparable("no \(key) to compare")
        }
        func members(_ value: Value) -> Set<String> {
            Set("\(value)".split { $0 == "," || $0.isWhitespace }.map(String.init))
        }
        return members(one) == members(other) ? .holds : .differs("\(key) \(other), recorded was \(one)")
    }

    private func atLeast(_ key: String, _ recovered: Position, saying excuse: String? = nil) -> Comparison {
        guard case .number(let one) = fields[key], case .number(let other) = recovered.fields[key] else {
            return .incomparable(excuse ?? "no \(key) to compare")
        }
        guard other >= one else { return .differs("\(key) \(other), recorded was \(one)") }
        return excuse.map { .incomparable($0) } ?? .holds
    }

    private func word(_ key: String) -> String { fields[key]?.description ?? "?" }
}
