// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce
import Yams

extension Settings {
    /// Adds what one file says. Each of its errors names file, line and column.
    mutating func add(_ text: String, from file: String) throws(Failure) {
        guard let root = try YAMLNode(parsing: text, from: file) else { return }
        try root.members { (key, value) throws(Failure) in
            switch key {
            case "defaults":
                try value.members { (key, value) throws(Failure) in
                    switch key {
                    case "require": defaults.require = try value.level()
                    case "maxFreeze": defaults.maxFreeze = try value.window()
                    case "maxHold": defaults.maxHold = try value.hold()
                    case "hookTimeout": defaults.hookTimeout = try value.timeout()
                    default: return ["hookTimeout", "maxFreeze", "maxHold", "require"]
                    }
                    return nil
                }
            case "guests":
                try value.members { (name, value) throws(Failure) in
                    try add(value, for: name)
                    return nil
                }
            case "chain":
                try add(chain: value)
            case "prune":
                try add(prune: value)
            default: return ["chain", "defaults", "guests", "prune"]
            }
            return nil
        }
    }

    private mutating func add(_ node: YAMLNode, for name: String) throws(Failure) {
        var guest = guests[name] ?? Guest()
        try node.members { (key, value) throws(Failure) in
            switch key {
            case "exclude":
                guest.exclude = [:]
                for element in try value.elements() {
                    guard let target = DiskTarget(try element.text()) else {
                        throw element.failure("a disk such as vdc is wanted here")
                    }
                    guest.exclude[target] = element.place
                }
            case "require": guest.require = try value.level()
            case "maxFreeze": guest.maxFreeze = try value.window()
            case "maxHold": guest.maxHold = try value.hold()
            case "hooks": guest.hooks = try value.hooks()
            default: return ["exclude", "hooks", "maxFreeze", "maxHold", "require"]
            }
            return nil
        }
        guests[name] = guest
    }

    private mutating func add(prune node: YAMLNode) throws(Failure) {
        prune = nil
        try node.members { (key, value) throws(Failure) in
            guard prune == nil else { throw value.failure("prune: keep and olderThan do not go together") }
            switch key {
            case "keep": prune = .keep(try value.count())
            case "olderThan": prune = .olderThan(try value.age())
            default: return ["keep", "olderThan"]
            }
            return nil
        }
    }

    private mutating func add(chain node: YAMLNode) throws(Failure) {
        try node.members { (key, value) throws(Failure) in
            switch key {
            case "warn": chain.warn = try value.depth()
            case "refuse": chain.refuse = try value.depth()
            default: return ["refuse", "warn"]
            }
            return nil
        }
        if chain.warn > chain.refuse {
            throw node.failure("chain: warn (\(chain.warn)) is above refuse (\(chain.refuse))")
        }
    }
}

extension YAMLNode {
    fileprivate func level() throws(Failure) -> Consistency {
        guard let level = Consistency(rawValue: try text()), level != .none else {
            throw failure("application, filesystem or crash is wanted here")
        }
        return level
    }

    fileprivate func window() throws(Failure) -> Duration {
        try time(in: SnapshotRequest.shortestWindow...SnapshotRequest.longestWindow, "2s to 30s")
    }

    fileprivate func hold() throws(Failure) -> Duration { try time(in: SnapshotRequest.holds, "2s to 10m") }
    fileprivate func timeout() throws(Failure) -> Duration { try time(in: HookChoice.timeouts, "1s to 1h") }

    private func time(in range: ClosedRange<Duration>, _ words: String) throws(Failure) -> Duration {
        guard let time = Duration(parsing: try text()), range.contains(time) else {
            throw failure("a time such as 15s or 2m is wanted here, \(words)")
        }
        return time
    }

    fileprivate func hooks() throws(Failure) -> [HookWords] {
        var hooks: [HookWords] = []
        for element in try elements() {
            let words = try element.hook()
            guard !hooks.contains(where: { $0.name == words.name && $0.instance == words.instance }) else {
                throw element.failure("\(words.name) is there twice; an instance may tell them apart")
            }
            hooks.append(words)
        }
        return hooks
    }

    private func hook() throws(Failure) -> HookWords {
        var name: YAMLNode?
        var words = HookWords(name: "", place: place, spot: spot)
        try members { (key, value) throws(Failure) in
            switch key {
            case "name": name = value
            case "policy":
                guard let policy = HookPolicy(rawValue: try value.text()) else {
                    throw value.failure("fail, degrade or ignore is wanted here")
                }
                words.policy = policy
            case "timeout": words.timeout = try value.timeout()
            // Which of these the hook knows is known with the hook.
            default: words.parameters.append(.init(key: key, value: try value.parameter(), spot: value.spot))
            }
            return nil
        }
        guard let name else { throw failure("a hook's name is wanted here: { name: postgresql }") }
        words.name = try name.text()
        words.spot = name.spot
        return words
    }

    /// It becomes a variable of the hook's environment in the guest.
    private func parameter() throws(Failure) -> String {
        let text = try text()
        guard text.utf8.count <= 4096, text == text.printable() else {
            throw failure("a value of at most 4096 bytes without control characters is wanted here")
        }
        return text
    }

    fileprivate func count() throws(Failure) -> Int {
        guard let count = Int(try text()), (0...1_000_000).contains(count) else {
            throw failure("a number of snapshots is wanted here, from 0 on")
        }
        return count
    }

    fileprivate func age() throws(Failure) -> Duration {
        guard let age = Duration(parsing: try text()), age > .zero else {
            throw failure("an age such as 12h or 30d is wanted here")
        }
        return age
    }

    /// libvirt takes a chain of 200 images at most.
    fileprivate func depth() throws(Failure) -> Int {
        guard let depth = Int(try text()), (1...200).contains(depth) else {
            throw failure("a number from 1 to 200 is wanted here")
        }
        return depth
    }
}
