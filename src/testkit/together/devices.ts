import { together } from '../together.js';

together('devices');
