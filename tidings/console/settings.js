// The names of the console.

/** What the page's entries in the browser's storage begin with. */
export const ID = "tidings-console";

/** What the page calls itself. */
export const TITLE = "Tidings";
