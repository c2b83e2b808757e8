// The door of what people see of their identity; what stands behind a button is fetched with it.
export { identityCard } from "./card";
export { forgetIdentity, leaving } from "./leaving";
