// SPDX-License-Identifier: Apache-2.0

import Libvirt
import Quiesce
import SystemPackage

/// Who else names an image: other domains, and the guest's own saved definition where the running one does not, as of a disk
/// that was detached from the running guest alone.
struct ImageUsers: Sendable {
    private let named: [(user: String, images: Set<String>)]
    /// Images that a definition has as raw.
    let raw: Set<String>

    /// - Parameters:
    ///   - others: the definitions of the other domains.
    ///   - live: the guest's own; `saved`: what its next start will read, nil for a transient domain.
    init(
        others: [(name: String, xml: [String])], of name: String, live: String, saved: String?,
        volumes: [PoolVolume: String]
    ) throws(Failure) {
        var raw: Set<String> = []
        func images(_ xml: String) throws(Failure) -> Set<String> {
            let definition = try DomainDefinition(xml: xml, volumes: volumes)
            raw.formUnion(definition.disks.compactMap { $0.facts.format == "raw" ? $0.facts.activeImage?.path : nil })
            return definition.allImagePaths
        }
        var named: [(user: String, images: Set<String>)] = []
        for other in others {
            for xml in other.xml { named.append((other.name, try images(xml))) }
        }
        if let saved {
            let running = Set(try images(live).map(ImagePlace.init))
            named.append(
                ("the saved definition of \(name)", try images(saved).filter { !running.contains(ImagePlace($0)) }))
        }
        (self.named, self.raw) = (named, raw)
    }

    /// By the file behind a path, however it is spelled.
    func users(of images: Set<String>) -> [String: Set<String>] {
        let spellings = Dictionary(grouping: images, by: ImagePlace.init)
        var users: [String: Set<String>] = [:]
        for (user, theirs) in named {
            for path in theirs {
                for image in spellings[ImagePlace(path)] ?? [] { users[image, default: []].insert(user) }
            }
        }
        return users
    }
}

/// What a path leads to, so that two spellings of it are one.
enum ImagePlace: Hashable, Sendable {
    case file(FileIdentity)
    /// Nothing is there, or it cannot be seen from here.
    case nowhere(String)

    init(_ path: String) {
        if let status = try? Stat(FilePath(path)) {
            self = .file(FileIdentity(status))
        } else {
            self = .nowhere(FilePath(path).lexicallyNormalized().string)
        }
    }
}

extension Connection {
    /// Where the volumes of storage pools are that the definitions name.
    func volumes(in definitions: [String]) throws(LibvirtError) -> [PoolVolume: String] {
        var volumes: [PoolVolume: String] = [:]
        for xml in definitions {
            for wanted in (try? DomainDefinition.volumes(in: xml)) ?? [] where volumes[wanted] == nil {
                let path = try volumePath(pool: wanted.pool, volume: wanted.volume)
                // That of a network pool is no path of this host.
                if let path, path.hasPrefix("/") { volumes[wanted] = path }
            }
        }
        return volumes
    }
}
