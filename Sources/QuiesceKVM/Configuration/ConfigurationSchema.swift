// SPDX-License-Identifier: Apache-2.0

import JSON
public import Quiesce

/// The configuration's keys for editors and checkers: JSON Schema 2020-12, with the hooks that are there now.
public struct ConfigurationSchema: Sendable {
    private let catalogue: HookCatalogue

    public init(_ catalogue: HookCatalogue) { self.catalogue = catalogue }

    public func text() throws(Failure) -> String {
        do { return try schema.text(.pretty) + "\n" } catch {
            throw Failure(.internalError, "the schema cannot be written as JSON: \(error)")
        }
    }

    private var schema: JSONValue {
        [
            "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "stillpoint configuration",
            "description": "/etc/stillpoint/config.yaml and conf.d/*.yaml", "type": ["object", "null"],
            "properties": [
                "defaults": Self.keys(
                    "What holds for guests that say nothing of their own.",
                    [
                        "require": Self.reference("level"), "maxFreeze": Self.maxFreeze, "maxHold": Self.maxHold,
                        "hookTimeout": Self.time("For each verb of a hook that has no timeout of its own, 1s to 1h."),
                    ]),
                "guests": [
                    "description": "By the domain's name.", "type": ["object", "null"],
                    "additionalProperties": Self.reference("guest"),
                ],
                "chain": Self.keys(
                    "How deep a backing chain may get.",
                    ["warn": Self.depth("Noted from here on."), "refuse": Self.depth("Refused from here on.")]),
                "prune": Self.keys(
                    "What prune takes away when nobody says; one of the two.",
                    [
                        "keep": [
                            "description": "All snapshots of ours but the newest so many.", "type": "integer",
                            "minimum": 0,
                        ], "olderThan": Self.time("Those older than this."),
                    ], atMost: 1),
            ], "additionalProperties": false,
            "$defs": [
                "level": [
                    "description": "The level that is asked for; missing it is told by the exit status.",
                    "enum": ["application", "filesystem", "crash"],
                ], "time": ["type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"],
                "guest": Self.keys(
                    "One guest.",
                    [
                        "exclude": [
                            "description": "Disks that are left out unless asked for by name.", "type": "array",
                            "items": ["type": "string", "pattern": "^[a-z][a-z0-9]{1,14}$"],
                        ], "require": Self.reference("level"), "maxFreeze": Self.maxFreeze, "maxHold": Self.maxHold,
                        "hooks": [
                            "description":
                                "These hooks alone, in the order in which they take their locks; without the key, those that find their application.",
                            "type": "array", "items": ["oneOf": .array(catalogue.hooks.map(Self.hook))],
                        ],
                    ]),
            ],
        ]
    }

    private static func hook(_ hook: Hook) -> JSONValue {
        var keys: JSONObject = [
            "name": ["const": .string(hook.name)],
            "policy": [
                "description":
                    "When it fails before the freeze: the run is refused, goes on to reach filesystem at most, or goes on as if it were not there. Default fail.",
                "enum": .array(HookPolicy.allCases.map { .string($0.rawValue) }),
            ], "timeout": time("For each of its verbs, 1s to 1h; default hookTimeout, else 30s."),
        ]
        for key in hook.parameters { keys[key] = ["type": ["string", "number", "boolean"]] }
        return [
            "title": .string(hook.name), "type": "object", "properties": .object(keys), "required": ["name"],
            "additionalProperties": false,
        ]
    }

    private static func keys(_ description: String, _ properties: JSONObject, atMost most: Int64? = nil) -> JSONValue {
        var keys: JSONObject = [
            "description": .string(description), "type": ["object", "null"], "properties": .object(properties),
            "additionalProperties": false,
        ]
        if let most { keys["maxProperties"] = .integer(most) }
        return .object(keys)
    }

    private static let maxFreeze = time("Longest window, 2s to 30s; default 5s.")
    private static let maxHold = time("Longest time that applications are held, 2s to 10m; default 15s.")

    private static func time(_ description: String) -> JSONValue {
        ["description": .string(description), "$ref": "#/$defs/time"]
    }

    private static func reference(_ name: String) -> JSONValue { ["$ref": .string("#/$defs/\(name)")] }

    /// libvirt takes a chain of 200 images at most.
    private static func depth(_ description: String) -> JSONValue {
        ["description": .string(description), "type": "integer", "minimum": 1, "maximum": 200]
    }
}
