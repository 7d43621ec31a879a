//! Names of actors and of their incarnations. Holds no reference to a running actor; the registry
//! maps one to the other.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Place of an actor in the supervision tree, such as `/replicas/orders-3`.
///
/// Starts with a slash and has no slash at its end; the root is `/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActorPath(Arc<str>);

impl ActorPath {
    /// The root of the tree, `/`.
    pub fn root() -> Self {
        Self(Arc::from("/"))
    }

    /// Takes a path as the operator writes it; a missing slash in front is added, one at the end is
    /// taken off.
    pub fn new(path: &str) -> Self {
        let trimmed = path.trim_matches('/');
        Self(Arc::from(format!("/{trimmed}")))
    }

    /// The path of the child `name` of this actor.
    pub fn child(&self, name: &str) -> Self {
        if self.is_root() {
            Self(Arc::from(format!("/{name}")))
        } else {
            Self(Arc::from(format!("{}/{name}", self.0)))
        }
    }

    /// True for `/`.
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// The last part of the path: `orders-3`.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// True when this is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &ActorPath) -> bool {
        if ancestor.is_root() {
            return true;
        }
        self.0
            .strip_prefix(&*ancestor.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ActorPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ActorPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many instances of an actor there have been; the first is 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The instance after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_within_its_ancestors_only() {
        let replicas = ActorPath::root().child("replicas");
        let partition = replicas.child("orders-3");
        assert_eq!(partition.as_str(), "/replicas/orders-3");
        assert_eq!(partition.name(), "orders-3");
        assert!(partition.is_within(&replicas));
        assert!(partition.is_within(&ActorPath::root()));
        assert!(partition.is_within(&partition));
        assert!(!partition.is_within(&ActorPath::new("/replicas/orders")));
        assert_eq!(ActorPath::new("replicas/"), replicas);
    }
}
