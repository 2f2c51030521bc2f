import { together } from '../together.js';

together('vdpa');
