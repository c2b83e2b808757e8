// Looks at what the node gives to browsers with the validator of glTF.
import { packages, story } from "./lib.mjs";

const validator = packages("gltf-validator");
/** Issues that a report may hold before it breaks off. */
const MOST_ISSUES = 100;

/** What the validator finds in a file: counts, and the worst of it in words. */
async function validate({ url }) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} was answered with ${answer.status}`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const report = await validator.validateBytes(bytes, { uri: url, format: "glb", maxIssues: MOST_ISSUES });
  const { numErrors: errors, numWarnings: warnings, messages } = report.issues;
  const worst = messages.filter(({ severity }) => severity < 2);
  const said = worst.map(({ code, pointer, message }) => `${code} at ${pointer}: ${message}`);
  return { errors, warnings, said };
}

await story({ validate });
