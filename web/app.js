/** The page: one playground. Panels and charts come when they are opened. */
import './elements/playground.js';
