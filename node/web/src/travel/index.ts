// The door of what only those need who go to other nodes.
export { abroad } from "./abroad";
export { whyNot } from "./why";
