// SPDX-License-Identifier: Apache-2.0

import Quiesce

extension GuestLife {
    var withFailpoints: any GuestLife {
        #if FAILPOINTS
        FailingLife(port: self)
        #else
        self
        #endif
    }
}

#if FAILPOINTS
private struct FailingLife: GuestLife {
    let port: any GuestLife

    func power() async throws(Failure) -> GuestFacts.Power {
        try await Failpoint.around("life.power", Failpoint.broken) { () async throws(Failure) in
            try await port.power()
        }
    }

    func hasManagedSave() async throws(Failure) -> Bool {
        try await Failpoint.around("life.hasManagedSave", Failpoint.broken) { () async throws(Failure) in
            try await port.hasManagedSave()
        }
    }

    func askToShutDown() async throws(Failure) {
        try await Failpoint.around("life.askToShutDown", Failpoint.broken) { () async throws(Failure) in
            try await port.askToShutDown()
        }
    }

    func powerOff() async throws(Failure) {
        try await Failpoint.around("life.powerOff", Failpoint.broken) { () async throws(Failure) in
            try await port.powerOff()
        }
    }

    func start(paused: Bool, resettingNVRAM: Bool) async throws(Failure) {
        try await Failpoint.around("life.start", Failpoint.broken) { () async throws(Failure) in
            try await port.start(paused: paused, resettingNVRAM: resettingNVRAM)
        }
    }

    func resume(from file: String, naming images: [DiskTarget: ImageLayer], paused: Bool) async throws(Failure) {
        try await Failpoint.around("life.resume", Failpoint.broken) { () async throws(Failure) in
            try await port.resume(from: file, naming: images, paused: paused)
        }
    }

    func define(_ definition: String, with images: [DiskTarget: ImageLayer]) async throws(Failure) {
        try await Failpoint.around("life.define", Failpoint.broken) { () async throws(Failure) in
            try await port.define(definition, with: images)
        }
    }

    func users(of images: Set<String>) async throws(Failure) -> (users: [String: Set<String>], raw: Set<String>) {
        try await Failpoint.around("life.users", Failpoint.broken) { () async throws(Failure) in
            try await port.users(of: images)
        }
    }

    func registeredSnapshots() async throws(Failure) -> [RegisteredSnapshot] {
        try await Failpoint.around("life.registeredSnapshots", Failpoint.broken) { () async throws(Failure) in
            try await port.registeredSnapshots()
        }
    }

    func restore(_ snapshot: RegisteredSnapshot, replacing images: [String: ImageLayer], asCurrent: Bool)
        async throws(Failure)
    {
        try await Failpoint.around("life.restore", Failpoint.broken) { () async throws(Failure) in
            try await port.restore(snapshot, replacing: images, asCurrent: asCurrent)
        }
    }

    func forget(_ name: String) async throws(Failure) {
        try await Failpoint.around("life.forget", Failpoint.broken) { () async throws(Failure) in
            try await port.forget(name)
        }
    }
}
#endif
