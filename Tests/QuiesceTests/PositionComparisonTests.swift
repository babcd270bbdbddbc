// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("A recovered position, held against the recorded one")
struct PositionComparisonTests {
    private func postgresql(_ lsn: String, timeline: Int64 = 1, system: String = "7") -> Position {
        Position(
            kind: "postgresql", relation: .atLeast,
            fields: ["lsn": .text(lsn), "timeline": .number(timeline), "systemIdentifier": .text(system)])
    }

    private func mariadb(
        _ gtid: String, _ file: String = "binlog.000042", _ position: Int64 = 1037,
        _ relation: Position.Relation = .exact
    ) -> Position {
        Position(
            kind: "mariadb", relation: relation,
            fields: ["gtid": .text(gtid), "file": .text(file), "position": .number(position)])
    }

    private func differs(_ comparison: Position.Comparison) -> Bool {
        if case .differs = comparison { true } else { false }
    }

    @Test("an LSN may be the recorded one or later, never before it", arguments: ["0/3A1F2C8", "0/3A1F2C9", "1/0"])
    func notBefore(_ lsn: String) { #expect(postgresql("0/3A1F2C8").compared(with: postgresql(lsn)) == .holds) }

    @Test("an LSN is compared as a number, not as text")
    func numbers() {
        #expect(postgresql("0/FFFFFFFF").compared(with: postgresql("10/0")) == .holds)
        #expect(differs(postgresql("2/0").compared(with: postgresql("1/FFFFFFFF"))))
        #expect(differs(postgresql("0/3A1F2C8").compared(with: postgresql("0/3A1F2C7"))))
    }

    @Test("another system or an older timeline is another database")
    func otherSystem() {
        #expect(differs(postgresql("0/1").compared(with: postgresql("0/2", system: "8"))))
        #expect(differs(postgresql("0/1", timeline: 3).compared(with: postgresql("0/2", timeline: 2))))
    }

    @Test("an exact position is the recorded one: GTID set, file and length of that file")
    func exact() {
        let recorded = mariadb("0-1-4711,1-1-3")
        #expect(recorded.compared(with: mariadb("1-1-3,0-1-4711")) == .holds)
        #expect(differs(recorded.compared(with: mariadb("0-1-4712,1-1-3"))))
        #expect(differs(recorded.compared(with: mariadb("0-1-4711,1-1-3", "binlog.000043"))))
        #expect(differs(recorded.compared(with: mariadb("0-1-4711,1-1-3", "binlog.000042", 1036))))
    }

    @Test("a position that is a lower bound may be passed in its file")
    func lowerBound() {
        let recorded = mariadb("0-1-1", "binlog.000042", 1037, .atLeast)
        #expect(recorded.compared(with: mariadb("0-1-2", "binlog.000042", 2000)) == .holds)
        #expect(differs(recorded.compared(with: mariadb("0-1-2", "binlog.000042", 1000))))
    }

    @Test("MongoDB's positions carry the time at which they were asked for, so that they always differ")
    func asked() {
        func at(_ time: String) -> Position {
            Position(kind: "mongodb", relation: .exact, fields: ["time": .text(time)])
        }
        #expect(!differs(at("2026-11-29T00:00:00Z").compared(with: at("2026-11-29T00:05:00Z"))))
    }

    @Test("what cannot be compared is told, never taken for equal")
    func incomparable() {
        let redis = Position(kind: "redis", relation: .exact, fields: ["offset": .number(5), "lastSave": .number(9)])
        let later = Position(kind: "redis", relation: .atLeast, fields: ["lastSave": .number(9)])
        for comparison in [
            redis.compared(with: later), redis.compared(with: nil), postgresql("x").compared(with: postgresql("0/1")),
        ] {
            guard case .incomparable = comparison else {
                Issue.record("\(comparison)")
                continue
            }
        }
        let earlier = Position(kind: "redis", relation: .atLeast, fields: ["lastSave": .number(8)])
        #expect(differs(redis.compared(with: earlier)))
    }

    @Test("another engine's position is no match")
    func otherKind() { #expect(differs(postgresql("0/1").compared(with: mariadb("0-1-1")))) }

    @Test("an engine unknown to the host is compared field by field where it has to be exact")
    func unknown() {
        let recorded = Position(kind: "ours", relation: .exact, fields: ["at": .text("a"), "note": .text("x")])
        #expect(recorded.compared(with: Position(kind: "ours", relation: .exact, fields: ["at": .text("a")])) == .holds)
        #expect(differs(recorded.compared(with: Position(kind: "ours", relation: .exact, fields: ["at": .text("b")]))))
    }
}
