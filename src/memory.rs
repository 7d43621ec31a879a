//! How much memory this process may use: the machine's, or less where a control group limits it.
//! Read once, at start. Source: cgroup-v2.rst ("Memory Interface Files"), cgroups(7).

use std::fs;
use std::path::{Component, Path};

/// Part of that memory that requests and answers in flight may take where `kabuki.memory.max` is not
/// set. The rest is for partitions, connections, and above all for the page cache of the logs.
const IN_FLIGHT_PARTS: u64 = 4;

/// More is of no use: it is what a few hundred clients have in flight at full speed.
const IN_FLIGHT_BYTES_MAX: u64 = 1 << 30;

/// `kabuki.memory.max` where it is not set.
pub(crate) fn in_flight_bytes_default() -> usize {
    let own_groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = group_limit(Path::new("/sys/fs/cgroup"), &own_groups);
    let bytes = limit.unwrap_or(u64::MAX).min(machine_bytes()) / IN_FLIGHT_PARTS;
    usize::try_from(bytes.min(IN_FLIGHT_BYTES_MAX)).unwrap_or(usize::MAX)
}

fn machine_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    // Both are `unsigned long`; their product is the size of the memory, which fits.
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
}

/// The least limit on the way from the process's own group to the root of the hierarchy at `root`;
/// `own_groups` is what `/proc/self/cgroup` says. `None` where no file sets one.
///
/// A group may have no limit of its own below one that has. In a container the path may lead outside
/// of what is mounted; then the files at the mount are those of the container.
fn group_limit(root: &Path, own_groups: &str) -> Option<u64> {
    let lines = own_groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let limits = lines.filter_map(|(controllers, group)| {
        let is_v1 = controllers.split(',').any(|name| name == "memory");
        if is_v1 {
            least(&root.join("memory"), group, &["memory.limit_in_bytes"])
        } else if controllers.is_empty() {
            // Over `memory.high` the system slows the process down, which is no less of a limit.
            least(root, group, &["memory.max", "memory.high"])
        } else {
            None
        }
    });
    limits.min()
}

/// The least number in these files of the group and of all above it.
fn least(mount: &Path, group: &str, files: &[&str]) -> Option<u64> {
    let names = Path::new(group).components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let mut folder = mount.to_owned();
    let mut folders = vec![folder.clone()];
    for name in names {
        folder.push(name);
        folders.push(folder.clone());
    }
    let paths = folders
        .iter()
        .flat_map(|folder| files.iter().map(|file| folder.join(file)));
    // "max" stands for no limit.
    let number = |path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    paths.filter_map(number).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hierarchy with these files.
    fn hierarchy(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_limit_of_a_nested_group_counts_not_that_of_the_root() {
        let root = hierarchy(&[
            ("system.slice/memory.max", "max\n"),
            ("system.slice/kabuki.service/memory.max", "1073741824\n"),
            ("system.slice/other.service/memory.max", "7\n"),
        ]);
        let own = "0::/system.slice/kabuki.service\n";
        assert_eq!(group_limit(root.path(), own), Some(1 << 30));
    }

    #[test]
    fn a_lower_limit_of_a_group_above_counts() {
        let root = hierarchy(&[
            ("a/memory.max", "500\n"),
            ("a/b/memory.max", "900\n"),
            ("a/b/c/memory.max", "max\n"),
        ]);
        assert_eq!(group_limit(root.path(), "0::/a/b/c\n"), Some(500));
        assert_eq!(group_limit(root.path(), "0::/x\n"), None);
    }

    #[test]
    fn where_the_system_throttles_is_a_limit() {
        let root = hierarchy(&[("a/memory.max", "900\n"), ("a/memory.high", "800\n")]);
        assert_eq!(group_limit(root.path(), "0::/a\n"), Some(800));
    }

    #[test]
    fn in_a_container_the_mounted_files_are_its_own() {
        let root = hierarchy(&[("memory.max", "4096\n")]);
        for own in ["0::/\n", "0::/docker/0123\n", "0::/../../elsewhere\n"] {
            assert_eq!(group_limit(root.path(), own), Some(4_096), "{own}");
        }
    }

    #[test]
    fn the_first_version_of_control_groups_is_read_as_well() {
        let root = hierarchy(&[
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/a/memory.limit_in_bytes", "2048\n"),
            ("cpu/a/memory.limit_in_bytes", "1\n"),
        ]);
        let own = "5:cpu,cpuacct:/a\n4:memory:/a\n1:name=systemd:/\n0::/\n";
        assert_eq!(group_limit(root.path(), own), Some(2_048));
        assert_eq!(group_limit(root.path(), ""), None);
    }

    #[test]
    fn the_default_is_a_quarter_of_what_there_is_and_bounded() {
        let bytes = in_flight_bytes_default() as u64;
        assert!(bytes > 0 && bytes <= IN_FLIGHT_BYTES_MAX, "{bytes}");
        assert!(bytes <= machine_bytes() / IN_FLIGHT_PARTS, "{bytes}");
    }
}
