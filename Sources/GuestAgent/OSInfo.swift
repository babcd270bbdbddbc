// SPDX-License-Identifier: Apache-2.0

/// The guest's operating system by its own word (guest-get-osinfo; on Linux os-release(5) and uname(2)).
/// An agent leaves out what it does not know.
public struct OSInfo: Sendable, Hashable {
    /// os-release's ID, such as `debian`.
    public let id: String?
    public let name: String?
    public let prettyName: String?
    public let version: String?
    public let versionID: String?
    public let variant: String?
    public let variantID: String?
    public let machine: String?
    public let kernelRelease: String?
    public let kernelVersion: String?

    init(_ reply: ReplyField) throws(AgentError) {
        id = try reply.optional("id")?.string()
        name = try reply.optional("name")?.string()
        prettyName = try reply.optional("pretty-name")?.string()
        version = try reply.optional("version")?.string()
        versionID = try reply.optional("version-id")?.string()
        variant = try reply.optional("variant")?.string()
        variantID = try reply.optional("variant-id")?.string()
        machine = try reply.optional("machine")?.string()
        kernelRelease = try reply.optional("kernel-release")?.string()
        kernelVersion = try reply.optional("kernel-version")?.string()
    }
}
