//! The supervision tree of a node, as data: every place on stage, who stands there, and what a new
//! instance is rebuilt from. `tests/tree.rs` compares it with a running node.

/// Group of the replicas: keeper, log directories, partitions.
pub(crate) const REPLICAS: &str = "/replicas";

/// Name of the group of listeners and sessions, below the root.
pub(crate) const EDGE: &str = "edge";

/// Name of the group of sessions, below the edge.
pub(crate) const SESSIONS: &str = "sessions";

/// One place on stage.
pub(crate) struct Place {
    /// Path of the actor; `*` stands for one name.
    pub(crate) path: &'static str,
    /// Who stands there.
    pub(crate) actor: &'static str,
    /// How many there are.
    pub(crate) one_per: &'static str,
    /// What a new instance is rebuilt from.
    pub(crate) rebuilt_from: &'static str,
}

/// All places of a node, groups before their children.
pub(crate) const PLACES: &[Place] = &[
    place(
        "/",
        "Supervisor",
        "node",
        "nothing: when it falls, the process ends with code 70",
    ),
    place(
        "/controller",
        "Controller",
        "node",
        "snapshot and metadata log",
    ),
    place("/replicas", "Supervisor", "node", "its entry in the tree"),
    place(
        "/replicas/keeper",
        "ReplicaKeeper",
        "node",
        "metadata image, directories, registry",
    ),
    place(
        "/replicas/dirs",
        "Supervisor",
        "node",
        "its entry in the tree",
    ),
    place(
        "/replicas/dirs/*",
        "LogDir",
        "data directory",
        "its checkpoint files",
    ),
    place(
        "/replicas/*",
        "Partition",
        "hosted replica",
        "its log, epoch file, producer snapshot",
    ),
    place(
        "/coordinators",
        "Supervisor",
        "node",
        "its entry in the tree",
    ),
    place(
        "/coordinators/keeper",
        "CoordinatorKeeper",
        "node",
        "metadata image, registry",
    ),
    place(
        "/coordinators/shards",
        "Supervisor",
        "node",
        "its entry in the tree",
    ),
    place(
        "/coordinators/shards/*",
        "Shard",
        "led partition of __consumer_offsets",
        "that partition",
    ),
    place(
        "/coordinators/groups",
        "Supervisor",
        "node",
        "its entry in the tree",
    ),
    place(
        "/coordinators/groups/*",
        "GroupCoordinator",
        "consumer group in use",
        "its records",
    ),
    place("/edge", "Supervisor", "node", "its entry in the tree"),
    place(
        "/edge/*",
        "Listener",
        "listener",
        "its socket, which stays bound",
    ),
    place(
        "/edge/sessions",
        "Supervisor",
        "node",
        "its entry in the tree",
    ),
    place(
        "/edge/sessions/*",
        "Session",
        "connection",
        "nothing: its client connects again",
    ),
];

const fn place(
    path: &'static str,
    actor: &'static str,
    one_per: &'static str,
    rebuilt_from: &'static str,
) -> Place {
    Place {
        path,
        actor,
        one_per,
        rebuilt_from,
    }
}

/// The places as text, for the long help of `kabuki actors`.
pub(crate) fn legend() -> String {
    let width = PLACES.iter().map(|place| place.path.len()).max();
    let width = width.unwrap_or(0);
    let mut text =
        String::from("Places on stage, who stands there, and what a new instance is made from:\n");
    for Place {
        path,
        actor,
        one_per,
        rebuilt_from,
    } in PLACES
    {
        let per = match *one_per {
            "node" => String::new(),
            one_per => format!(" per {one_per}"),
        };
        text.push_str(&format!("  {path:width$}  {actor}{per}; {rebuilt_from}\n"));
    }
    text
}
