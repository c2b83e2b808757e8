// The entry of the page.
import { start } from "./app";
import { installHook } from "./hook";
import { loadTexts } from "./i18n";
import { mount } from "./ui/shell";

installHook();
mount();
await loadTexts();
await start();
if (import.meta.env.PROD && "serviceWorker" in navigator) {
  // Not being able to install the page is no reason to bother anybody.
  navigator.serviceWorker.register("/service-worker.js").catch(console.warn);
}
