// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import Quiesce

extension DiskTarget: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

extension Consistency: ExpressibleByArgument {}

/// `5s`, `500ms`, `2m`, `12h`, `7d`.
struct Span: ExpressibleByArgument {
    let duration: Duration
    static let fiveMinutes = Span(.seconds(300))

    private init(_ duration: Duration) { self.duration = duration }

    init?(argument: String) {
        guard let duration = Duration(parsing: argument) else { return nil }
        self.init(duration)
    }

    /// What `--shutdown` may take.
    var asPatience: Duration {
        get throws(Failure) {
            guard (.seconds(1)...(.seconds(3600))).contains(duration) else {
                throw Failure(.usage, "--shutdown is 1s to 60m, not \(duration.forPeople)")
            }
            return duration
        }
    }
}

/// Bytes a second: `50M` is 50 MiB.
struct Rate: ExpressibleByArgument {
    let bytes: UInt64

    init?(argument: String) {
        let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
        let unit = argument.last.flatMap { units[$0] }
        guard let number = UInt64(unit == nil ? argument : String(argument.dropLast())) else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: unit ?? 1)
        guard !overflow else { return nil }
        self.bytes = bytes
    }
}

/// The three ways to choose disks; they do not mix.
struct SelectionOptions: ParsableArguments {
    @Option(name: .customLong("disk"), help: "This disk alone; may be repeated.")
    var disks: [DiskTarget] = []

    @Option(name: .customLong("exclude"), help: "All but this disk; may be repeated.")
    var excluded: [DiskTarget] = []

    @Option(
        name: .customLong("diskspec"),
        help: "virsh's grammar and meaning: T[,snapshot=external|no][,file=PATH]; unlisted disks are included.")
    var specs: [String] = []

    func selection() throws(Failure) -> Selection {
        let styles = [!disks.isEmpty, !excluded.isEmpty, !specs.isEmpty].filter { $0 }.count
        guard styles <= 1 else {
            throw Failure(.usage, "--disk, --exclude and --diskspec do not mix: choose one way to name the disks")
        }
        if !disks.isEmpty { return .only(disks) }
        if !excluded.isEmpty { return .excluding(excluded) }
        guard !specs.isEmpty else { return .all }
        var parsed: [DiskSpec] = []
        for spec in specs { parsed.append(try DiskSpec(spec)) }
        return .specs(parsed)
    }
}
