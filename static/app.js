// Live updates, keyboard shortcuts and small comforts. Every page works without this file.

import { startLiveUpdates } from "./live.js";
import { startShortcuts } from "./shortcuts.js";
import { startEditor } from "./editor.js";
import { addCopyButtons, refreshAges, startSelection, startSuggestions, startTheme } from "./comforts.js";

startTheme();
addCopyButtons(document);
startSelection();
startSuggestions();
startEditor();
startShortcuts();
startLiveUpdates((changed) => {
  addCopyButtons(changed);
  refreshAges();
});
setInterval(refreshAges, 5000);
