"""The stylesheet of report.html: system type, one column, dark or light as the reader has it."""

CSS = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #ffffff; --ink: #26282c;
  --faint: #6b7078; --line: #e4e2dd; --accent: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #17181b; --card: #1f2124; --ink: #e6e4df; --faint: #9a9fa8;
    --line: #34373c; --accent: #56b4e9; }
  img { filter: brightness(.88); }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 15px; font-weight: 600; color: var(--faint); margin: 0 0 12px;
  overflow-wrap: anywhere; }
h2 { font-size: 18px; font-weight: 650; margin: 0 0 12px; overflow-wrap: anywhere; }
p { margin: 0 0 12px; max-width: 75ch; }
.verdict { font-size: 25px; line-height: 1.35; font-weight: 600; max-width: 38em; }
.aside { color: var(--faint); font-size: 17px; }
.hint { color: var(--faint); font-size: 13.5px; overflow-wrap: anywhere; }
section { margin-top: 28px; padding: 22px 24px; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; }
section > :last-child { margin-bottom: 0; }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; margin: 0 0 12px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14.5px; }
th, td { padding: 7px 18px 7px 0; text-align: left; border-top: 1px solid var(--line);
  vertical-align: baseline; }
thead th { color: var(--faint); font-weight: 500; font-size: 13px; border-top: 0; }
tbody th { font-weight: 500; }
td { white-space: nowrap; }
details td { white-space: normal; overflow-wrap: anywhere; }
dl.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(128px, 1fr));
  gap: 16px; margin: 0 0 18px; }
dt { color: var(--faint); font-size: 13px; }
dd { margin: 0; font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
ul { margin: 0 0 12px; padding-left: 20px; }
summary { cursor: pointer; color: var(--accent); }
details table { margin-top: 12px; }
code { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
@media print { section { break-inside: avoid; } body { background: #fff; } }
"""
