// SPDX-License-Identifier: Apache-2.0

import GRDB
import JSON
import Quiesce

/// The tables. A migration that has been released is never changed: the next one is added below it.
enum Schema {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            // Times are UTC; utcOffset is the host's, in seconds, at that moment.
            try db.execute(
                sql: """
                    CREATE TABLE run (
                        id TEXT PRIMARY KEY NOT NULL,
                        guest TEXT NOT NULL,
                        uuid TEXT NOT NULL,
                        uri TEXT NOT NULL,
                        name TEXT NOT NULL,
                        startedAt TEXT NOT NULL,
                        utcOffset INTEGER NOT NULL,
                        endedAt TEXT,
                        ending TEXT
                    ) STRICT;
                    CREATE TABLE step (
                        id INTEGER PRIMARY KEY,
                        run TEXT NOT NULL REFERENCES run (id),
                        at TEXT NOT NULL,
                        step TEXT NOT NULL
                    ) STRICT;
                    CREATE INDEX stepOfRun ON step (run);
                    CREATE TABLE snapshot (
                        run TEXT NOT NULL,
                        guest TEXT NOT NULL,
                        uuid TEXT NOT NULL,
                        uri TEXT NOT NULL,
                        name TEXT NOT NULL,
                        createdAt TEXT NOT NULL,
                        utcOffset INTEGER NOT NULL,
                        consistency TEXT NOT NULL,
                        fate TEXT NOT NULL,
                        PRIMARY KEY (run, uuid)
                    ) STRICT;
                    CREATE INDEX snapshotOfGuest ON snapshot (uuid, createdAt);
                    """)
        }
        migrator.registerMigration("branches") { db in
            // What a branch is lies in the run's folder, since libvirt's memory of a snapshot may hold passwords.
            try db.execute(
                sql: """
                    CREATE TABLE branch (
                        run TEXT PRIMARY KEY NOT NULL,
                        uuid TEXT NOT NULL,
                        leftAt TEXT NOT NULL
                    ) STRICT;
                    CREATE TABLE place (
                        run TEXT NOT NULL,
                        uuid TEXT NOT NULL,
                        disks TEXT NOT NULL,
                        PRIMARY KEY (run, uuid)
                    ) STRICT;
                    """)
        }
        migrator.registerMigration("clones") { db in
            // A clone's row is there before anything of it and goes last.
            try db.execute(
                sql: """
                    CREATE TABLE clone (
                        id TEXT PRIMARY KEY NOT NULL,
                        guest TEXT NOT NULL,
                        uuid TEXT NOT NULL,
                        uri TEXT NOT NULL,
                        cloneName TEXT NOT NULL,
                        cloneUUID TEXT NOT NULL,
                        folder TEXT NOT NULL,
                        isKept INTEGER NOT NULL DEFAULT 0
                    ) STRICT;
                    CREATE TABLE verification (
                        id INTEGER PRIMARY KEY,
                        run TEXT NOT NULL,
                        uuid TEXT NOT NULL,
                        at TEXT NOT NULL,
                        utcOffset INTEGER NOT NULL,
                        level TEXT NOT NULL,
                        result TEXT NOT NULL,
                        detail TEXT NOT NULL,
                        bootMs INTEGER,
                        recoveryMs INTEGER
                    ) STRICT;
                    CREATE INDEX verificationOfRun ON verification (run, at);
                    """)
        }
        migrator.registerMigration("uses") { db in
            // files is a JSON array; pid, boot and start tell one process of this host.
            try db.execute(
                sql: """
                    CREATE TABLE snapshotUse (
                        id TEXT PRIMARY KEY NOT NULL,
                        kind TEXT NOT NULL,
                        run TEXT NOT NULL,
                        name TEXT NOT NULL,
                        guest TEXT NOT NULL,
                        uuid TEXT NOT NULL,
                        uri TEXT NOT NULL,
                        label TEXT,
                        since TEXT NOT NULL,
                        utcOffset INTEGER NOT NULL,
                        until TEXT,
                        way TEXT NOT NULL,
                        folder TEXT,
                        files TEXT NOT NULL,
                        pid INTEGER,
                        boot TEXT,
                        start TEXT
                    ) STRICT;
                    CREATE INDEX useOfGuest ON snapshotUse (uuid);
                    """)
        }
        return migrator
    }
}

/// A row that no version of this program writes.
struct ForeignRow: Error, CustomStringConvertible {
    let description: String
}

extension Row {
    func value<Value>(_ column: String, _ parse: (String) throws -> Value?) throws -> Value {
        guard let text = self[column] as String?, let value = try parse(text) else {
            throw ForeignRow(description: "the column \(column) has a value that is not understood")
        }
        return value
    }

    func time(_ column: String) throws -> Timestamp {
        let utc = try value(column) { try JSONValue.string($0).decode(Timestamp.self) }
        return Timestamp(milliseconds: utc.milliseconds, offset: self["utcOffset"])
    }

    func optionalTime(_ column: String) throws -> Timestamp? {
        self[column] as String? == nil ? nil : try time(column)
    }

    var identity: GuestIdentity { GuestIdentity(name: self["guest"], uuid: self["uuid"], uri: self["uri"]) }
}
