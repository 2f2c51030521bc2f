import { together } from '../together.js';

together('ioasid');
