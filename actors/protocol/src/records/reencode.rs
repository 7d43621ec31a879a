//! Rewrites a batch with another codec or with offset deltas that count from 0.
