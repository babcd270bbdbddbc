// SPDX-License-Identifier: Apache-2.0

import JSON
public import Quiesce

/// A published value as JSON text: members in their declared order, every member always there.
public enum JSONText {
    public static func of(_ value: some Encodable, pretty: Bool = true) throws(Failure) -> String {
        do {
            return try JSONValue(encoding: value).text(pretty ? .pretty : .compact)
        } catch {
            throw Failure(.internalError, "a result cannot be written as JSON: \(error)")
        }
    }
}
