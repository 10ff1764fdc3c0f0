//! `hotspare demo --tour`: the first command of the README, which proves the main job by itself.

use crate::harness::door::hotspare;

#[test]
fn the_tour_promises_what_users_see_and_keeps_it() {
    let ended = hotspare().args(["demo", "--tour"]).output().unwrap();
    let (told, trouble) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{told}{trouble}");
    for fault in ["kill", "lying-check", "disk", "freeze", "slow", "cut", "both"] {
        assert!(told.lines().any(|line| line.starts_with(fault)), "no line for {fault}:\n{told}");
    }
    assert!(told.ends_with("All promises held.\n"), "{told}");
}
