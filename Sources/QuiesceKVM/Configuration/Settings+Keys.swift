// SPDX-License-Identifier: Apache-2.0

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
                    case "require": require = try value.level()
                    case "maxFreeze": maxFreeze = try value.window()
                    default: return ["maxFreeze", "require"]
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
            default: return ["chain", "defaults", "guests"]
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
            default: return ["exclude", "maxFreeze", "require"]
            }
            return nil
        }
        guests[name] = guest
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
        let longest = SnapshotRequest.longestWindow
        guard let window = Duration(parsing: try text()), window > .zero, window <= longest else {
            throw failure("a time such as 5s or 500ms is wanted here, \(longest.forPeople) at most")
        }
        return window
    }

    /// libvirt takes a chain of 200 images at most.
    fileprivate func depth() throws(Failure) -> Int {
        guard let depth = Int(try text()), (1...200).contains(depth) else {
            throw failure("a number from 1 to 200 is wanted here")
        }
        return depth
    }
}
