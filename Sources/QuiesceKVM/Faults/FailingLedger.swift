// SPDX-License-Identifier: Apache-2.0

import Quiesce

extension Ledger {
    var journalWithFailpoints: any Journal {
        #if FAILPOINTS
        FailingJournal(port: self)
        #else
        self
        #endif
    }

    var catalogueWithFailpoints: any Catalogue {
        #if FAILPOINTS
        FailingCatalogue(port: self)
        #else
        self
        #endif
    }

    var branchesWithFailpoints: any BranchCatalogue {
        #if FAILPOINTS
        FailingBranches(port: self)
        #else
        self
        #endif
    }
}

#if FAILPOINTS
private struct FailingJournal: Journal {
    let port: any Journal

    func open(
        _ run: RunID, for guest: GuestIdentity, named name: String, at time: Timestamp
    ) async throws(Failure) {
        try await Failpoint.around("journal.open", Failpoint.broken) { () async throws(Failure) in
            try await port.open(run, for: guest, named: name, at: time)
        }
    }

    func record(_ step: JournalStep, of run: RunID, at time: Timestamp) async throws(Failure) {
        // The case's own name: `staging(overlays: …)`.
        let name = "journal.\("\(step)".prefix { $0 != "(" })"
        try await Failpoint.around(name, Failpoint.broken) { () async throws(Failure) in
            try await port.record(step, of: run, at: time)
        }
    }

    func close(_ run: RunID, _ ending: JournalEnding, at time: Timestamp) async throws(Failure) {
        try await Failpoint.around("journal.close", Failpoint.broken) { () async throws(Failure) in
            try await port.close(run, ending, at: time)
        }
    }

    func unfinished() async throws(Failure) -> [UnfinishedRun] {
        try await Failpoint.around("journal.unfinished", Failpoint.broken) { () async throws(Failure) in
            try await port.unfinished()
        }
    }
}

private struct FailingCatalogue: Catalogue {
    let port: any Catalogue

    func add(
        _ report: RunReport, definition: String, artifacts: [HookReply.Artifact]
    ) async throws(Failure) {
        try await Failpoint.around("catalogue.add", Failpoint.broken) { () async throws(Failure) in
            try await port.add(report, definition: definition, artifacts: artifacts)
        }
    }

    func entries(of guest: GuestIdentity?) async throws(Failure) -> [CatalogueEntry] {
        try await Failpoint.around("catalogue.entries", Failpoint.broken) { () async throws(Failure) in
            try await port.entries(of: guest)
        }
    }

    func manifest(of run: RunID) async throws(Failure) -> RunReport {
        try await Failpoint.around("catalogue.manifest", Failpoint.broken) { () async throws(Failure) in
            try await port.manifest(of: run)
        }
    }

    func uses(of guest: GuestIdentity?) async throws(Failure) -> [SnapshotUse] {
        try await Failpoint.around("catalogue.uses", Failpoint.broken) { () async throws(Failure) in
            try await port.uses(of: guest)
        }
    }

    func mark(_ run: RunID, _ fate: CatalogueEntry.Fate) async throws(Failure) {
        try await Failpoint.around("catalogue.mark", Failpoint.broken) { () async throws(Failure) in
            try await port.mark(run, fate)
        }
    }
}

private struct FailingBranches: BranchCatalogue {
    let port: any BranchCatalogue

    func keep(_ branch: Branch, definition: String, variables: [UInt8]?) async throws(Failure) {
        try await Failpoint.around("branches.keep", Failpoint.broken) { () async throws(Failure) in
            try await port.keep(branch, definition: definition, variables: variables)
        }
    }

    func variables(of run: RunID) async throws(Failure) -> [UInt8]? {
        try await Failpoint.around("branches.variables", Failpoint.broken) { () async throws(Failure) in
            try await port.variables(of: run)
        }
    }

    func branches(of guest: GuestIdentity) async throws(Failure) -> [Branch] {
        try await Failpoint.around("branches.list", Failpoint.broken) { () async throws(Failure) in
            try await port.branches(of: guest)
        }
    }

    func change(_ branch: Branch) async throws(Failure) {
        try await Failpoint.around("branches.change", Failpoint.broken) { () async throws(Failure) in
            try await port.change(branch)
        }
    }

    func drop(_ branch: RunID) async throws(Failure) {
        try await Failpoint.around("branches.drop", Failpoint.broken) { () async throws(Failure) in
            try await port.drop(branch)
        }
    }

    func move(_ disks: [MemberReport.Disk], of run: RunID, _ guest: GuestIdentity) async throws(Failure) {
        try await Failpoint.around("branches.move", Failpoint.broken) { () async throws(Failure) in
            try await port.move(disks, of: run, guest)
        }
    }
}
#endif
