// SPDX-License-Identifier: Apache-2.0
// json-fuzz [--iterations N] [--seed N] [--corpus FOLDER]: mutates the corpus, reads each mutant and checks what was
// accepted. Exit 0 if all invariants held, 1 with the input in hex if one did not, 64 for a wrong option.
import Foundation

func refuseUsage(_ why: String) -> Never {
    print("json-fuzz: \(why)")
    exit(64)
}

var iterations = 1_000_000
var seed: UInt64 = 1
var corpus = "Tests/Fuzz/corpus"
var words = CommandLine.arguments.dropFirst()
while let option = words.popFirst() {
    guard let value = words.popFirst() else { refuseUsage("\(option) needs a value") }
    switch option {
    case "--iterations":
        guard let count = Int(value), count > 0 else { refuseUsage("iterations is a number above 0, not \(value)") }
        iterations = count
    case "--seed":
        guard let number = UInt64(value) else { refuseUsage("seed is a number, not \(value)") }
        seed = number
    case "--corpus": corpus = value
    default: refuseUsage("unknown option \(option)")
    }
}

let names = try FileManager.default.contentsOfDirectory(atPath: corpus).sorted()
let seeds = try names.map { [UInt8](try Data(contentsOf: URL(filePath: "\(corpus)/\($0)"))) }
guard !seeds.isEmpty else { refuseUsage("no files in \(corpus)") }

var mutator = Mutator(seeds: seeds, seed: seed)
var accepted = 0
let started = ContinuousClock.now
for iteration in 0..<iterations {
    // The corpus itself comes first, unchanged.
    let input = iteration < seeds.count ? seeds[iteration] : mutator.next()
    do {
        if try invariantsHold(for: input) { accepted += 1 }
    } catch {
        print("json-fuzz: \(error) in input \(iteration), seed \(seed): ", terminator: "")
        print(input.map { String($0, radix: 16) }.joined(separator: " "))
        exit(1)
    }
}
let seconds = (ContinuousClock.now - started) / .seconds(1)
print(
    "json-fuzz: \(iterations) inputs, \(accepted) accepted, \(iterations - accepted) refused,",
    "\(String(format: "%.1f", seconds)) s, seed \(seed), all invariants held")
