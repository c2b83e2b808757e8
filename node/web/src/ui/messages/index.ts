// What a member has of conversations on the page: fetched when somebody is one, and not before.
import "./messages.css";

export { besideWorlds } from "./beside";
export { devicesDialog } from "./devices";
export { Messages } from "./model";
export { MessagesPanel } from "./panel";
export { resetDialog } from "./recovery";
export { detailsDialog, shieldButton } from "./shield";
export { words } from "./words";
