// theme.js: light or dark: as the system has it, or as chosen. It runs before the page is shown, so
// that the page does not flash; the rest of it waits for the button.
(() => {
  const names = ["auto", "light", "dark"];
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is forbidden
    }
  };
  let chosen = names.includes(stored()) ? stored() : "auto";

  function apply() {
    const dark = chosen === "dark" || (chosen === "auto" && system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    const button = document.getElementById("theme");
    if (button) button.textContent = chosen;
    dispatchEvent(new Event("themechange"));
  }

  function next() {
    chosen = names[(names.indexOf(chosen) + 1) % names.length];
    try {
      localStorage.setItem("theme", chosen);
    } catch {
      // it holds until the page is closed
    }
    apply();
  }

  apply();
  system.addEventListener("change", apply);
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", next);
    apply();
  });
})();
