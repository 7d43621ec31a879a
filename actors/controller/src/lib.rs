//! The metadata of the cluster: proposed, logged, committed, published as an image.
