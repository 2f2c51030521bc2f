import { together } from '../together.js';

together('inspector');
