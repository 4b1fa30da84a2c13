// The names of the console. A program that adds to the twin replaces this file.

/** What the page's entries in the browser's storage begin with. */
export const ID = "sam-twin";

/** What the page calls itself. */
export const TITLE = "sam-twin";
