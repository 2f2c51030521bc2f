import { together } from '../together.js';

together('machine');
