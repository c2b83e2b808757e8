// The addresses of this page in their order, so that whoever goes back and is not let in stays where they are, and so does the address.

interface Mark {
  at: number;
}

/** The place in that order of where the person is. */
let here = 0;
/** Steps of the browser by which an address was put right, which lead nobody anywhere. */
let corrections = 0;

function there(): number {
  const mark = history.state as Partial<Mark> | null;
  return typeof mark?.at === "number" ? mark.at : 0;
}

/** Tells of steps back and forward that a person takes. */
export function onStep(told: () => void): void {
  here = there();
  window.addEventListener("popstate", () => {
    if (corrections > 0) corrections -= 1;
    else told();
  });
}

/** The address is written differently, and names the same. */
export function rename(path: string): void {
  const mark: Mark = { at: here };
  history.replaceState(mark, "", path);
}

/** The person goes on to another address, or the one that they are at is written differently. */
export function goOn(path: string): void {
  settle();
  if (location.pathname + location.search === path) return;
  if (location.pathname === path.split("?")[0]) {
    rename(path);
    return;
  }
  here += 1;
  const mark: Mark = { at: here };
  history.pushState(mark, "", path);
}

/** The person has come to where the address is after a step. */
export function settle(): void {
  here = there();
}

/** Whether the address is that of where the person is, after all. */
export const isSettled = (): boolean => there() === here;

/** The person has not: the address is again that of where they are. */
export function stay(): void {
  const steps = here - there();
  if (steps === 0) return;
  corrections += 1;
  history.go(steps);
}
