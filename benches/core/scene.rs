//! What is measured, and the one function in which it happens: a clock is read around it, and callgrind counts in it alone.
//!
//! tests/instructions.rs compiles this file, `tallies` and the decision core by themselves.

use std::hint::black_box;

/// Something that is done again and again, each time to something that was made ready before.
pub trait Scene {
    type Ready;
    /// Not measured.
    fn prepare(&mut self) -> Self::Ready;
    /// Takes what it needs; what it leaves is dropped unmeasured.
    fn run(&mut self, ready: &mut Self::Ready);
}

/// Runs the scene with each. callgrind finds it by its name.
#[inline(never)]
pub fn measured<S: Scene>(scene: &mut S, all: &mut [S::Ready]) {
    for ready in all {
        black_box(&mut *scene).run(ready);
    }
}

/// Runs that callgrind counts together, and as many before them, so that what is lazily made is made. Of what comes every 50 ms it
/// is a second, so that what comes every few rounds is in it with its share.
pub const COUNTED: u64 = 20;

/// Runs it for callgrind.
pub fn counted(scene: &mut impl Scene) {
    for _ in 0..COUNTED {
        let mut ready = scene.prepare();
        scene.run(&mut ready);
    }
    for _ in 0..COUNTED {
        let ready = scene.prepare();
        measured(scene, &mut [ready]);
    }
}
