import { together } from '../together.js';

together('replay');
