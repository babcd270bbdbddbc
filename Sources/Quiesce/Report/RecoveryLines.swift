// SPDX-License-Identifier: Apache-2.0

/// Lines to paste where a copy is put to use: how it catches up from where its log stood at the cut.
extension RunReport {
    /// Empty where no application was prepared. Positions are the guest's word: one that does not look like a position
    /// is left out, so that nothing in it can become part of a statement.
    public func recovery(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        for member in members {
            guard let snapshot = member.snapshot else { continue }
            for application in member.applications where application.status == .prepared {
                let lines = application.recoveryLines(of: member.domain.name, snapshot.name)
                guard !lines.isEmpty else { continue }
                page.gap()
                page.line(
                    ink.bold(
                        [application.position?.kind ?? application.name, application.instance].compactMap { $0 }.joined(
                            separator: " ")))
                for line in lines { page.line("  " + line) }
            }
        }
        return page.text
    }
}

extension MemberReport.Application {
    fileprivate func recoveryLines(of domain: String, _ snapshot: String) -> [String] {
        switch position?.kind {
        case "mariadb": mariaDBLines
        case "mysql": mysqlLines
        case "postgresql": postgresqlLines(domain, snapshot)
        default: []
        }
    }

    private var mariaDBLines: [String] {
        let start: String
        if role == .replica, let gtid = position?.plain("slaveGtid") {
            // The copy has it in a table, and moves it on as soon as it replicates: what was recorded would set it back.
            start = "-- gtid_slave_pos stays as the copy has it; at the cut it was \(gtid)"
        } else if let gtid = position?.plain("gtid") {
            // At least there: only its own binlog knows how far it came.
            let reached = position?.relation == .exact ? "'\(gtid)'" : "@@global.gtid_binlog_pos"
            start = "SET GLOBAL gtid_slave_pos = \(reached);"
        } else {
            return binlogLines("MASTER_LOG_FILE", "MASTER_LOG_POS")
        }
        return [
            "-- on the copy, once it has recovered:", start,
            "CHANGE MASTER TO MASTER_HOST = '…', MASTER_USER = '…', MASTER_USE_GTID = slave_pos;", "START SLAVE;",
        ]
    }

    private var mysqlLines: [String] {
        let identity =
            "# before its first start remove auto.cnf from its data directory: the copy needs a server UUID of its own"
        guard position?.relation == .atLeast, position?.plain("gtid") != nil else {
            return [identity] + binlogLines("SOURCE_LOG_FILE", "SOURCE_LOG_POS")
        }
        return [
            identity, "-- on the copy, once it has recovered:",
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '…', SOURCE_USER = '…', SOURCE_AUTO_POSITION = 1;",
            "START REPLICA;",
        ]
    }

    private func binlogLines(_ fileWord: String, _ positionWord: String) -> [String] {
        guard let file = position?.plain("file"), case .number(let offset) = position?.fields["position"] else {
            return []
        }
        guard position?.relation == .exact else {
            return [
                "-- it may have recovered to more than was recorded: \(fileWord) and \(positionWord) are name and size, by",
                "-- SHOW BINARY LOGS, of the last file that it had before its first start",
            ]
        }
        let (change, start, side) =
            fileWord.hasPrefix("SOURCE")
            ? ("CHANGE REPLICATION SOURCE TO", "START REPLICA;", "SOURCE")
            : ("CHANGE MASTER TO", "START SLAVE;", "MASTER")
        return [
            "-- on the copy, once it has recovered:",
            "\(change) \(side)_HOST = '…', \(side)_USER = '…', \(fileWord) = '\(file)', \(positionWord) = \(offset);",
            start,
        ]
    }

    private func postgresqlLines(_ domain: String, _ snapshot: String) -> [String] {
        guard let position else { return [] }
        var lines: [String] = []
        for artifact in artifacts
        where artifact.name.hasSuffix("backup_label") || artifact.name.hasSuffix("tablespace_map") {
            let file = artifact.name.hasSuffix("backup_label") ? "backup_label" : "tablespace_map"
            lines.append("stillpoint show \(domain) \(snapshot) --artifact \(artifact.name) > $PGDATA/\(file)")
        }
        if let segment = position.plain("walSegment") { lines.append("# the first WAL segment it needs: \(segment)") }
        // Below 12 the server does not start with these in postgresql.conf, and knows no recovery.signal.
        let major = version.flatMap { Int($0.prefix { $0.isNumber }) }
        lines += [
            (major ?? 12) < 12
                ? "# to go on from the archive, in $PGDATA/recovery.conf:"
                : "# to go on from the archive, in postgresql.conf, and   touch $PGDATA/recovery.signal:",
            "restore_command = 'cp /path/to/archive/%f %p'", "recovery_target_timeline = 'latest'",
        ]
        return lines
    }
}

extension Position {
    /// A field of letters, digits and `.,:/_-` alone.
    fileprivate func plain(_ key: String) -> String? {
        guard case .text(let text) = fields[key], !text.isEmpty,
            text.utf8.allSatisfy({
                (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
                    || ".,:/_-".utf8.contains($0)
            })
        else { return nil }
        return text
    }
}
