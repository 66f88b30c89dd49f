//! Traces as text for people: from steps to a tree, and from the tree to lines for a terminal.
//!
//! Knows nothing of where the steps come from: the console sink makes them from spans as they end, the command line from
//! the store. Everything is pure and bounded, so the look is tested by comparing text.
//!
//! ```text
//! steps --tree--> rows (folded, collapsed to a screenful) --render--> lines
//! ```

pub mod format;
pub mod line;
pub mod path;
pub mod render;
pub mod step;
pub mod text;
pub mod tree;

pub use line::Screen;
pub use path::critical_path;
pub use render::{render_headline, render_tree};
pub use step::{Step, Summary};
pub use tree::Tree;
