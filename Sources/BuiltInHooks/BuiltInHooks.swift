// SPDX-License-Identifier: Apache-2.0

/// The files of `Hooks/` as they were when this was built.
public enum BuiltInHooks {
    /// What is put before every hook.
    public static var common: [UInt8] { PackageResources.common_sh }

    /// In the order in which they take their locks.
    public static var hooks: [(name: String, text: [UInt8])] {
        [
            ("postgresql", PackageResources.postgresql), ("mysql", PackageResources.mysql),
            ("redis", PackageResources.redis), ("sqlite", PackageResources.sqlite),
            ("mongodb", PackageResources.mongodb), ("etcd", PackageResources.etcd),
            ("service", PackageResources.service), ("container", PackageResources.container),
            ("sqlserver", PackageResources.sqlserver), ("oracle", PackageResources.oracle),
            ("hana", PackageResources.hana), ("db2", PackageResources.db2),
        ]
    }
}
