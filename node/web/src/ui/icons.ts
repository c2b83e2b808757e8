// The icons of the page, drawn as lines on a grid of 24.

const PATHS = {
  people:
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7M2.5 20c.4-3.6 3-5.5 6.5-5.5s6.1 1.9 6.5 5.5M16 4.5a3.3 3.3 0 0 1 0 6.2M18 14.8c2 .7 3.3 2.5 3.5 5.2",
  look: "M12 11.5a3.7 3.7 0 1 0 0-7.5 3.7 3.7 0 0 0 0 7.5M5 20.5c.3-4 3-6.2 7-6.2s6.7 2.2 7 6.2",
  settings:
    "M4 7h9M17 7h3M15 4.8v4.4M4 12h3M11 12h9M9 9.8v4.4M4 17h11M19 17h1M17 14.8v4.4",
  leave: "M14 4H6a1.5 1.5 0 0 0-1.5 1.5v13A1.5 1.5 0 0 0 6 20h8M10 12h10.5M17 8.5l3.5 3.5-3.5 3.5",
  chat: "M5 5h14a1.5 1.5 0 0 1 1.5 1.5v8A1.5 1.5 0 0 1 19 16h-7l-4.5 4v-4H5a1.5 1.5 0 0 1-1.5-1.5v-8A1.5 1.5 0 0 1 5 5",
  send: "M4 12l16-7.5-4.5 15-3.7-6zM20 4.5l-8.2 9",
  wave: "M7.5 12V6.2a1.4 1.4 0 0 1 2.8 0V11M10.3 10.5V4.6a1.4 1.4 0 0 1 2.8 0v6M13.1 10.8V5.7a1.4 1.4 0 0 1 2.8 0v7.8l1.3-2a1.4 1.4 0 0 1 2.4 1.4l-2.9 5.3c-1 1.8-2.5 2.8-4.7 2.8-3.2 0-5-2-5.7-4.8L4.8 12.7a1.4 1.4 0 0 1 2.5-1.1l.9 1.9",
  dance:
    "M13.5 5.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6M5 9l4-1.5 4 1 3 3 3.5-1M13 8.5L10.5 14l3.5 3-1.5 4.5M10.5 14L8 17.5l-3.5.5",
  point: "M4 11.5h11.5a1.6 1.6 0 0 0 0-3.2H9.5M4 19.5h8.5a2 2 0 0 0 0-2.7 2 2 0 0 0 .8-2.7 2 2 0 0 0 .2-2.6M2.5 8.5v12.5",
  sit: "M7 3.5v9.5h9.5a1.5 1.5 0 0 1 1.5 1.5v6M7 13v7.5M7 17h11",
  view: "M2.5 12C5 7.7 8.2 5.5 12 5.5s7 2.2 9.5 6.5c-2.5 4.3-5.7 6.5-9.5 6.5S5 16.3 2.5 12M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6",
  jump: "M12 20V5M6 11l6-6 6 6",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  back: "M19 12H5M11 6l-6 6 6 6",
  headset:
    "M4 8.5h16a1.5 1.5 0 0 1 1.5 1.5v5.5A1.5 1.5 0 0 1 20 17h-4l-2.2-2.5h-3.6L8 17H4a1.5 1.5 0 0 1-1.5-1.5V10A1.5 1.5 0 0 1 4 8.5",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  more: "M7 10l5 5 5-5",
  next: "M9 5l7 7-7 7",
  previous: "M15 5l-7 7 7 7",
  upload: "M12 16V4.5M7 9.5l5-5 5 5M4.5 16v3.5h15V16",
  check: "M5 12.5l4.5 4.5L19 7.5",
  emotes: "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17M8.5 14c.8 1.5 2 2.3 3.5 2.3s2.7-.8 3.5-2.3M9 9.5v.6M15 9.5v.6",
} as const;

export type Icon = keyof typeof PATHS;

const SVG = "http://www.w3.org/2000/svg";

export function icon(name: Icon): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
