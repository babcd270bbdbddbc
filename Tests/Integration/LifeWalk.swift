// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON

/// Does to a real domain what it tells the model, and holds the one against the other.
struct LifeWalk {
    enum Step: String, CaseIterable {
        case write, snapshot, virshSnapshot, commit, commitNamed, commitDisk, commitAll, delete, deleteChildren
        case revert, revertUnasked, undo, pruneKeep, pruneAbandoned, power, virshDelete, virshForget

        var weight: Int {
            switch self {
            case .write: 30
            case .snapshot: 18
            case .revert: 10
            case .delete: 8
            case .commitNamed: 6
            case .virshSnapshot, .commit: 5
            case .undo, .power: 4
            case .commitDisk, .pruneKeep, .pruneAbandoned, .virshDelete: 3
            case .commitAll, .deleteChildren, .virshForget: 2
            case .revertUnasked: 1
            }
        }
    }

    struct Mismatch: Error, CustomStringConvertible {
        let description: String
    }

    let domain: BareDomain
    private var random: Seeded
    private var model: LifeModel
    private(set) var history: [String] = []
    private var done: [Step: (done: Int, refused: Int)] = [:]

    init(_ domain: BareDomain, seed: UInt64) {
        self.domain = domain
        random = Seeded(seed)
        let images = zip(["vda", "vdb", "vdc"], ["one", "two", "three"])
        model = LifeModel(images.reduce(into: [:]) { $0[$1.0] = "\(domain.folder)/\($1.1).qcow2" })
    }

    var tally: String {
        Step.allCases.compactMap { step in
            done[step].map { "\(step) \($0.done)" + ($0.refused > 0 ? " (\($0.refused) refused)" : "") }
        }.joined(separator: ", ")
    }

    // MARK: a step

    /// One that can be tried as things stand.
    mutating func take(_ number: Int) async throws {
        let before = taken
        while taken == before {
            let step = choose()
            history.append("\(number) \(step)")
            try await take(step, number)
        }
    }

    private var taken: Int { done.values.reduce(0) { $0 + $1.done + $1.refused } }

    private mutating func take(_ step: Step, _ number: Int) async throws {
        let name = "s\(number)"
        switch step {
        case .write: try await write(UInt8(number % 255 + 1))
        case .snapshot:
            let some = targets
            let disks = some.flatMap { ["--disk", $0] }
            try await ours(step, ["snapshot", domain.uuid, "--no-freeze", "--name", name] + disks) { model, path in
                model.cut(name, isOurs: true, onto: some.reduce(into: [:]) { $0[$1] = path($1) })
            }
        case .virshSnapshot: try await virshSnapshot(name, targets)
        case .commit: try await ours(step, ["commit", domain.uuid]) { model, _ in try model.commit(nil) }
        case .commitNamed:
            guard let name = anyName() else { return }
            try await ours(step, ["commit", domain.uuid, name]) { model, _ in try model.commit(name) }
        case .commitDisk:
            guard let name = anyName(), let disk = targets.first else { return }
            try await ours(step, ["commit", domain.uuid, name, "--disk", disk]) { model, _ in
                try model.commit(name, disk: disk)
            }
        case .commitAll:
            let disk = Bool.random(using: &random) ? targets.first : nil
            let words = disk.map { ["--disk", $0] } ?? []
            try await ours(step, ["commit", domain.uuid, "--all"] + words) { model, _ in try model.commitAll(disk: disk)
            }
        case .delete:
            guard let name = anyName() else { return }
            try await ours(step, ["delete", domain.uuid, name]) { model, _ in try model.delete(name) }
        case .deleteChildren:
            guard let name = anyName() else { return }
            try await ours(step, ["delete", domain.uuid, name, "--children"]) { model, _ in
                try model.delete(name, children: true)
            }
        case .revert:
            guard let name = anyName() else { return }
            try await ours(step, ["revert", domain.uuid, name, "--destroy"]) { model, path in
                try model.revert(to: name, onto: path)
            }
        case .revertUnasked:
            guard model.isRunning, let name = anyName() else { return }
            try await ours(step, ["revert", domain.uuid, name]) { _, _ in throw LifeModel.Refused(exit: 20) }
        case .undo:
            try await ours(step, ["revert", domain.uuid, "--undo", "--destroy"]) { model, _ in try model.undo() }
        case .pruneKeep:
            let count = Int.random(in: 0...5, using: &random)
            try await ours(step, ["prune", domain.uuid, "--keep", "\(count)"]) { model, _ in
                try model.prune(keeping: count)
            }
        case .pruneAbandoned:
            try await ours(step, ["prune", domain.uuid, "--abandoned"]) { model, _ in try model.prune(keeping: nil) }
        case .power:
            try await Virsh.run(model.isRunning ? "destroy" : "start", domain.uuid)
            model.isRunning.toggle()
            count(step)
        case .virshDelete: try await virshDelete()
        case .virshForget:
            guard let name = model.snapshots.filter(\.isListed).randomElement(using: &random)?.name else { return }
            history.append("  \(name)")
            try await Virsh.run("snapshot-delete", domain.uuid, name, "--metadata")
            model.unlist(name)
            count(step)
        }
    }

    private mutating func choose() -> Step {
        let depth = model.active.values.map { model.chain($0).count }.max() ?? 0
        if depth > 9 || model.layers.count > 30 {
            return [.commitAll, .pruneKeep, .pruneAbandoned, .deleteChildren, .delete].randomElement(using: &random)
                ?? .commitAll
        }
        if !model.isRunning, Int.random(in: 0..<4, using: &random) == 0 { return .power }
        let all = Step.allCases.flatMap { Array(repeating: $0, count: $0.weight) }
        return all.randomElement(using: &random) ?? .write
    }

    /// Some of the disks, at least one.
    private var targets: [String] {
        mutating get {
            let all = ["vda", "vdb", "vdc"].shuffled(using: &random)
            return all.prefix(Int.random(in: 1...3, using: &random)).sorted()
        }
    }

    /// Mostly one that stands.
    private mutating func anyName() -> String? {
        if Int.random(in: 0..<20, using: &random) == 0 { return "nobody" }
        return model.snapshots.randomElement(using: &random)?.name
    }

    private mutating func count(_ step: Step, refused: Bool = false) {
        done[step, default: (0, 0)].done += refused ? 0 : 1
        done[step, default: (0, 0)].refused += refused ? 1 : 0
    }

    /// The command has to do it, or to refuse it as the model does.
    private mutating func ours(
        _ step: Step, _ words: [String], _ change: (inout LifeModel, (String) -> String) throws -> Void
    ) async throws {
        history.append("  stillpoint \(words.joined(separator: " "))")
        var trial = model
        do {
            try change(&trial) { "new \($0)" }
        } catch let refused as LifeModel.Refused {
            let ended = try await domain.stillpoint.run(words)
            history.append("  \(ended.exit) \(ended.lastLine)")
            guard ended.exit == refused.exit, ended.lastLine.hasPrefix("stillpoint: ") else {
                throw Mismatch(description: "not refused with \(refused.exit): \(ended)")
            }
            return count(step, refused: true)
        }
        let ended = try await domain.stillpoint.run(words)
        guard ended.exit == 0 || step == .snapshot && ended.exit == 11 else {
            throw Mismatch(description: "not done: \(ended)")
        }
        let disks = try await Virsh.disks(of: domain.uuid, saved: true)
        try change(&model) { disks[$0] ?? "no disk \($0)" }
        count(step)
    }

    private mutating func write(_ number: UInt8) async throws {
        guard model.isRunning, let target = targets.first else { return }
        let start = Int.random(in: 0..<LifeModel.blocks, using: &random)
        let end = min(LifeModel.blocks, start + Int.random(in: 1...24, using: &random))
        let disk = ["vda", "vdb", "vdc"].firstIndex(of: target) ?? 0
        let place = "\(start * LifeModel.block) \((end - start) * LifeModel.block)"
        history.append("  \(number) to \(target) \(place)")
        try await Virsh.run(
            "qemu-monitor-command", domain.uuid, "--hmp",
            "qemu-io -d \(Self.backend(disk)) \"write -P \(number) \(place)\"")
        model.write(number, to: target, start..<end)
        count(.write)
    }

    private static func backend(_ disk: Int) -> String { "/machine/peripheral/virtio-disk\(disk)/virtio-backend" }

    // MARK: virsh's own

    private mutating func virshSnapshot(_ name: String, _ some: [String]) async throws {
        history.append("  \(name) of \(some)")
        let specs = ["vda", "vdb", "vdc"].flatMap {
            ["--diskspec", "\($0),snapshot=\(some.contains($0) ? "external" : "no")"]
        }
        try await Program.succeed(
            ["virsh", "--quiet", "snapshot-create-as", domain.uuid, name, "--disk-only", "--atomic"] + specs,
            within: .seconds(60))
        let disks = try await Virsh.disks(of: domain.uuid, saved: true)
        model.cut(name, isOurs: false, onto: disks.filter { some.contains($0.key) })
        count(.virshSnapshot)
    }

    /// Of one that it merges without harm; it may refuse, and has changed nothing then.
    private mutating func virshDelete() async throws {
        guard model.isRunning, let name = model.mergeableUnseen.randomElement(using: &random) else { return }
        history.append("  \(name)")
        let ended = try await Program.run("virsh", ["--quiet", "snapshot-delete", domain.uuid, name])
        history.append("  \(ended.exit) \(ended.lastLine)")
        if ended.exit == 0 { try model.mergeUnseen(name) }
        count(.virshDelete, refused: ended.exit != 0)
    }

    // MARK: what must hold

    func check() async throws {
        try await checkDefinitions()
        try checkFiles()
        try await checkContents()
        try await checkList()
    }

    private func expect<Value: Equatable>(_ found: Value, _ wanted: Value, _ what: String) throws {
        guard found != wanted else { return }
        throw Mismatch(description: "\(what): \(found), not \(wanted)")
    }

    /// Both definitions name the newest layers, and libvirt lists the snapshots in use, each with images that are there.
    private func checkDefinitions() async throws {
        let listed = model.snapshots.filter(\.isListed).map(\.name)
        var commands = ["domblklist \(domain.uuid) --inactive", "domstate \(domain.uuid)"]
        if model.isRunning {
            commands += ["domblklist \(domain.uuid)"]
            // What it still holds of the images' tables goes to the files.
            for disk in 0..<3 {
                commands.append(
                    "qemu-monitor-command \(domain.uuid) --hmp \"qemu-io -d \(Self.backend(disk)) flush\"")
            }
        }
        commands += ["snapshot-list \(domain.uuid) --name"]
        commands += listed.map { "snapshot-dumpxml \(domain.uuid) \($0)" }
        let parts = try await Virsh.run(commands.joined(separator: "; echo =====; ")).components(separatedBy: "=====")
        try expect(parts.count, commands.count, "virsh's answers")
        for table in model.isRunning ? [parts[0], parts[2]] : [parts[0]] {
            let images = table.split(separator: "\n").reduce(into: [String: String]()) { images, line in
                let words = line.split(separator: " ").map(String.init)
                if words.count == 2 { images[words[0]] = words[1] }
            }
            try expect(images, model.active, "a definition's images")
        }
        let state = parts[1].trimmingCharacters(in: .whitespacesAndNewlines)
        try expect(state, model.isRunning ? "running" : "shut off", "state")
        let names = parts[model.isRunning ? 6 : 2].split(whereSeparator: \.isWhitespace).map(String.init)
        try expect(names.sorted(), listed.sorted(), "libvirt's snapshots")
        for (snapshot, xml) in zip(model.snapshots.filter(\.isListed), parts.suffix(listed.count)) {
            try checkDescription(snapshot, xml)
        }
    }

    /// As libvirt has it, a snapshot holds the same disks, each with its overlay, on images that are there. Which of them
    /// is beyond us: `snapshot-delete --metadata` of another changes that too (9.0).
    private func checkDescription(_ snapshot: LifeModel.Snapshot, _ xml: String) throws {
        for (target, overlay) in snapshot.overlays {
            let name = "<disk name='\(target)' snapshot="
            guard model.frozen(snapshot, target) != nil else {
                if snapshot.isOurs {
                    try expect(xml.contains(name + "'no'"), true, "\(snapshot.name) without \(target)")
                }
                continue
            }
            let cut = xml.split(separator: "</disk>").first { $0.contains(name) } ?? ""
            try expect(cut.contains("<source file='\(overlay)'/>"), true, "\(snapshot.name)'s \(target) in \(xml)")
            let disk = xml.split(separator: "</disk>").first { $0.contains("<target dev='\(target)'") } ?? ""
            for match in disk.matches(of: /<source file='([^']+)'/) where model.layers[String(match.1)] == nil {
                throw Mismatch(description: "libvirt's \(snapshot.name) names \(match.1)")
            }
        }
    }

    /// The folder holds the layers, each on its own, what is kept of the snapshots that stand, and nothing else.
    private func checkFiles() throws {
        let files = FileManager.default
        let ours = model.snapshots.filter(\.isOurs)
        var wanted = Set(model.layers.keys.map { ($0 as NSString).lastPathComponent })
        if !ours.isEmpty { wanted.insert(".stillpoint") }
        let beside = (try? files.contentsOfDirectory(atPath: "\(domain.folder)/.stillpoint")) ?? []
        try expect(domain.images, wanted, "files")
        try expect(beside.count, ours.count, "manifests beside the images")
        for (image, layer) in model.layers { try expect(try Self.backing(of: image), layer.below, "below \(image)") }
    }

    private static func backing(of image: String) throws -> String? {
        let file = try FileHandle(forReadingFrom: URL(filePath: image))
        defer { try? file.close() }
        let head = [UInt8](try file.read(upToCount: 4096) ?? Data())
        func number(_ range: Range<Int>) -> Int { head[range].reduce(0) { $0 << 8 | Int($1) } }
        let start = number(8..<16)
        return start == 0 ? nil : String(decoding: head[start..<start + number(16..<20)], as: UTF8.self)
    }

    /// Every byte of every layer, as it is read through it, by QEMU's own reader.
    private func checkContents() async throws {
        var words: [String] = []
        for (image, layer) in model.layers {
            words += ["-c", "open -r -U -o driver=qcow2 \(image)"]
            var start = 0
            while start < layer.content.count {
                let end = layer.content[start...].firstIndex { $0 != layer.content[start] } ?? layer.content.count
                words += [
                    "-c",
                    "read -q -P \(layer.content[start]) \(start * LifeModel.block) \((end - start) * LifeModel.block)",
                ]
                start = end
            }
            words += ["-c", "close"]
        }
        let ended = try await Program.run("qemu-io", ["-r"] + words)
        guard ended.exit == 0, !ended.output.contains("failed"), ended.errors.isEmpty else {
            throw Mismatch(description: "contents: \(ended.output)\(ended.errors)\n\(ended.command.suffix(2000))")
        }
    }

    private func checkList() async throws {
        let ended = try await domain.stillpoint("list", domain.uuid, "--json")
        let rows = try ended.json["snapshots"]?.array ?? []
        let found = rows.map { "\($0["name"]?.string ?? "?") \($0["standing"]?.string ?? "?")" }
        try expect(found.sorted(), model.snapshots.map { "\($0.name) \(model.standing($0))" }.sorted(), "list")
    }

    /// Merged and deleted, nothing is left but the first images, with what the guest would read.
    mutating func end() async throws {
        history.append("end")
        try await ours(.pruneKeep, ["prune", domain.uuid, "--keep", "0"]) { model, _ in try model.prune(keeping: 0) }
        if model.layers.count > 3 {
            try await ours(.commitAll, ["commit", domain.uuid, "--all"]) { model, _ in try model.commitAll() }
        }
        for gone in model.snapshots {
            try await ours(.delete, ["delete", domain.uuid, gone.name]) { model, _ in try model.delete(gone.name) }
        }
        try await check()
        try expect(domain.images, ["one.qcow2", "two.qcow2", "three.qcow2"], "files in the end")
        let open = try await domain.stillpoint("recover", "--json")
        try expect(open.exit, 0, "recover: \(open)")
    }
}
