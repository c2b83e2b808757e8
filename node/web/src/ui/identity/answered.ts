// The badges about which somebody has said whether everybody is to see them: nobody is asked twice.
import { Marks } from "../../marks";

/** As many as a home keeps; the oldest are asked about once more. */
const MOST = 64;
const badges = new Marks("wayside.badges_answered", MOST);

export const isAnswered = (id: string): boolean => badges.has(id);

export const answered = (id: string): void => badges.add(id);

/** Whoever signs out leaves no trace of what they were given. */
export const forgetAnswered = (): void => badges.forget();
