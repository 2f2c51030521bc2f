import { together } from '../together.js';

together(import.meta.url);
