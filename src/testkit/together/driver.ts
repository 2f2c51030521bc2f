import { together } from '../together.js';

together('driver');
