// The names of the console. A program that adds to the twin replaces this file.

/** The prefix of the page's entries in the browser's storage. */
export const ID = "sam-twin";

/** The title of the page. */
export const TITLE = "sam-twin";
