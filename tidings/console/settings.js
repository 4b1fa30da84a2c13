// The names of the console.

/** The prefix of the page's keys in the browser's storage. */
export const ID = "tidings-console";

/** The page's title. */
export const TITLE = "Tidings";
