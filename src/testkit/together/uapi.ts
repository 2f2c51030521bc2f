import { together } from '../together.js';

together('uapi');
