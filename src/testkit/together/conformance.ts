import { together } from '../together.js';

together('conformance');
