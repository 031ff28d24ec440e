// Modules that bring no types.
declare module '*.css';
declare module 'three';
declare module 'three/addons/controls/OrbitControls.js';
