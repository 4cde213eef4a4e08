//! How the fixed part of an element is written down: steps, each a mark and the words up to the next mark.
//!
//! The macro writes them and the page follows them; the file is compiled into both, since a crate of macros exports
//! nothing else.

/// Opens an element: its tag.
pub(crate) const OPEN: char = '\u{10}';
/// Opens an element of a drawing: its tag.
pub(crate) const OPEN_SVG: char = '\u{11}';
/// Names an attribute; its value follows with [`IS`].
pub(crate) const ATTRIBUTE: char = '\u{12}';
/// The value of the attribute just named.
pub(crate) const IS: char = '\u{13}';
/// Text.
pub(crate) const TEXT: char = '\u{14}';
/// Closes the innermost element.
pub(crate) const CLOSE: char = '\u{15}';
/// The next part is the value of the attribute of this name.
pub(crate) const SET: char = '\u{16}';
/// The next part says whether the element has this class.
pub(crate) const CLASS: char = '\u{17}';
/// The next part is the value of this property of the style.
pub(crate) const STYLE: char = '\u{18}';
/// The next part is the value of this property of the object in the browser.
pub(crate) const PROPERTY: char = '\u{19}';
/// The next part takes events of this name.
pub(crate) const LISTEN: char = '\u{1a}';
/// The next part wants to know the element.
pub(crate) const KNOW: char = '\u{1b}';
/// The next part stands here.
pub(crate) const SHOW: char = '\u{1c}';
