// Asks somebody whether a node is shown what it asks to see, wherever in the page they are.
import type { Consent } from "./travel/disclosure";

export interface ConsentDoors {
  /** Keys rest while something is asked. */
  pause(yes: boolean): void;
  /** Takes a headset off, in which nothing of the page is seen. */
  takeOff(): Promise<void>;
  /** Whether somebody still wants to go there. */
  isWanted(): boolean;
}

/** The way to ask, whose dialog few ever see. Nothing is told to a node from which somebody has turned back meanwhile. */
export function consentBy(doors: ConsentDoors): Consent {
  const mustBeWanted = (): void => {
    if (!doors.isWanted()) throw new Error("whoever was asked has turned back");
  };
  return async (serverName, disclosures) => {
    await doors.takeOff();
    const { consentReady, consentDialog } = await import("./ui/consent");
    await consentReady();
    mustBeWanted();
    const says = await consentDialog(serverName, disclosures, (yes) => doors.pause(yes));
    mustBeWanted();
    return says;
  };
}
